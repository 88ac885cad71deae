"""Choosing a method for somebody who named none."""

from reelvec.core import ReelvecError
from reelvec.data.index import Index


def choose_method(found: Index) -> tuple[str, str]:
    """Return a method's name and the reason, by what the files of an index offer.

    MoDist wherever things can move: it is the one method here that leaves an encoder of motion as well, and in its study
    (docs/studies.md) nearest neighbours went by motion more than MoCo's did after equally many videos. Where most files hold
    one picture there is no motion to distil. Raises ReelvecError where no file can be used.
    """
    rows = [found.row(int(i)) for i in found.usable()]
    if not rows:
        raise ReelvecError("choose a method", "no file that can be decoded", "see `reelvec index` for the reasons")
    moving = sum(row.frames > 1 for row in rows)
    if 2 * moving < len(rows):
        return "rho_moco", f"{len(rows) - moving} of {len(rows)} files hold a single picture, in which nothing moves"
    vectors = sum(row.has_motion_vectors for row in rows)
    source = "with flow_source=codec their own vectors can stand in for it" if vectors == len(rows) else "by OpenCV"
    return "modist", f"{moving} of {len(rows)} files hold motion; their optical flow is computed ({source})"
