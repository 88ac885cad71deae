"""Which clips were cut out of one film, told from the file names of UCF101, HMDB51 and Diving48."""

import os
import re
from collections.abc import Sequence

_LEAST_SHARE = 0.5
"""of the names that have to fit; the others are films of their own"""
_UCF101 = re.compile(r"v_(?P<label>[A-Za-z]+)_g(?P<group>\d{2})_c\d{2}")
_HMDB51_END = r"_[hulf]_(?:cm|nm)_np\d_(?:fr|ba|le|ri)_(?:goo|med|bad)_\d+"
_DIVING48 = re.compile(r"(?P<film>[\w-]{11})_\d{5}", re.ASCII)
_DRAWN = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)")
"""what five of six names have whose eleven signs were drawn, and words of one's own, as basketball1_00001, hardly ever"""


def source_groups(paths: Sequence[str], labels: Sequence[str]) -> tuple[list[str], str] | None:
    """Return a group for each video and a note, where at least half of the names are those of one of these sets; else None.

    UCF101: v_<Class>_g08_c01 is clip 1 of group 8 of its class, of one source. HMDB51: <film>_<class>_u_nm_np1_fr_goo_0.
    Diving48: <eleven signs of the competition's video, drawn by YouTube>_00001. A video of another name is a group of its
    own.
    """
    stems = [os.path.splitext(os.path.basename(path))[0] for path in paths]
    for title, of_name in (("UCF101", _ucf101), ("HMDB51", _hmdb51), ("Diving48", _diving48)):
        found = [of_name(stem, label) for stem, label in zip(stems, labels, strict=True)]
        known = [group for group in found if group is not None]
        if of_name is _diving48 and 2 * sum(bool(_DRAWN.match(film)) for film in {*known}) < len({*known}):
            continue
        fitting = len(known)
        if fitting and fitting >= _LEAST_SHARE * len(paths):
            groups = [path if group is None else group for group, path in zip(found, paths, strict=True)]
            note = f"file names are those of {title}: clips of one source are kept together ({len(set(groups))} groups)"
            return groups, note
    return None


def _ucf101(stem: str, label: str) -> str | None:
    fits = _UCF101.fullmatch(stem)
    return f"{fits['label']}_g{fits['group']}" if fits else None


def _hmdb51(stem: str, label: str) -> str | None:
    # a label of another word than the file's class leaves the class in the group: clips of one film and one class
    fits = re.fullmatch(f"(?P<film>.+)_{re.escape(label)}{_HMDB51_END}", stem) or re.fullmatch(
        f"(?P<film>.+){_HMDB51_END}", stem
    )
    return fits["film"] if fits else None


def _diving48(stem: str, label: str) -> str | None:
    fits = _DIVING48.fullmatch(stem)
    return fits["film"] if fits else None
