"""Choosing a method for somebody who named none."""

from reelvec.core import ReelvecError
from reelvec.data.index import Index


def choose_method(found: Index) -> tuple[str, str]:
    """Return a method's name and the reason, by what the files of an index offer.

    MoDist wherever things can move: it is the one method here that leaves an encoder of motion as well, and on the generated
    set and on real clips it is among those that are shown to beat the untrained network (docs/studies.md, methods). Where
    most files hold one picture there is no motion to distil. The reason names the patent of what is chosen. Raises
    ReelvecError where no file can be used.
    """
    usable = found.table.select(["frames", "has_motion_vectors"]).take(found.usable())
    frames, with_vectors = (usable.column(name).to_numpy(zero_copy_only=False) for name in usable.column_names)
    many = len(frames)
    if not many:
        raise ReelvecError("choose a method", "no file that can be decoded", "see `reelvec index` for the reasons")
    moving = int((frames > 1).sum())
    if 2 * moving < many:
        return "rho_moco", f"{many - moving} of {many} files hold a single picture, in which nothing moves"
    source = "with flow_source=codec their own vectors can stand in for it" if with_vectors.all() else "by OpenCV"
    return "modist", (
        f"{moving} of {many} files hold motion; their optical flow is computed ({source}). Mind that its idea is patented "
        "(`reelvec methods`); --method v3s or --method rho_simclr do without it"
    )
