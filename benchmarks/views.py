"""How fast random views of clips are made on one core: reelvec beside torchvision v2 and kornia, the same operations.

    python benchmarks/views.py
    python benchmarks/views.py --device cuda --out FILE.json

Every clip (3 x 8 x 128 x 171, uint8) gets a view of its own: random resized crop to 112, flip, jitter of brightness, contrast,
saturation and hue in random order, grey, Gaussian blur, then floats, normalised; one draw for all frames of a clip.

- torchvision v2 draws once a call, so it is called once a clip. It works on uint8 until the floats at the end, its fast way.
- kornia draws for each clip of a batch by itself (VideoSequential, same_on_frame). Its crop does not antialias.
- reelvec: make_view on the batch; fast is view.arithmetic=fast, one matrix for all colours of a clip; fast yuv the same from
  the planes of the codec (pictures=yuv) instead of RGB.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, Literal

import torch
from measuring import Row, absent, arguments, finish, machine, one_thread, rate, ratio, table, take_turns
from torch import Tensor
from torchvision.transforms import v2

from reelvec.core import Batch, Clips, PlaneClips, Progress, Stream
from reelvec.data.pictures import to_rgb
from reelvec.views import ViewConfig, make_view

Make = Callable[[Tensor], Any]

AREA, ASPECT, SIGMA = (0.2, 0.766), (0.75, 1.333), (0.1, 2.0)
STRENGTHS = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
MEAN, STD = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)
CHANCES = {
    "all, as a method draws them": {"flip": 0.5, "jitter": 0.8, "grey": 0.2, "blur": 0.5},
    "crop and flip": {"flip": 0.5, "jitter": 0.0, "grey": 0.0, "blur": 0.0},
    "crop, flip and always jitter": {"flip": 0.5, "jitter": 1.0, "grey": 0.0, "blur": 0.0},
    "crop, flip and always grey": {"flip": 0.5, "jitter": 0.0, "grey": 1.0, "blur": 0.0},
    "crop, flip and always blur": {"flip": 0.5, "jitter": 0.0, "grey": 0.0, "blur": 1.0},
}
"""probabilities of the operations; an operation that never happens is left out of everybody's list"""


def by_reelvec(
    size: int, chance: dict[str, float], arithmetic: Literal["exact", "fast"] = "exact", planes: bool = False
) -> Make:
    settings = ViewConfig(
        size=size, area=AREA, aspect=ASPECT, blur_sigma=SIGMA, mean=MEAN, std=STD, arithmetic=arithmetic, **STRENGTHS, **chance
    )
    step = iter(range(1 << 30))
    form = lru_cache(in_planes) if planes else in_rgb

    def make(clips: Tensor) -> Tensor:
        numbers = torch.arange(len(clips)) + next(step) * len(clips)  # new draws with every call
        batch = Batch({Stream.RGB: form(clips)}, numbers, numbers, torch.zeros(len(clips), 1), torch.ones(len(clips)))
        return make_view(batch.clip(Stream.RGB, 0), settings, Progress(0, 1, 0.0, 0).draws(batch, "view")).frames

    return make


def in_rgb(clips: Tensor) -> Clips:
    return Clips(clips[:, None], torch.tensor([clips.shape[-2:]] * len(clips)))


def in_planes(clips: Tensor) -> PlaneClips:
    """Take numbers for those of planes; which picture they are costs nobody time."""
    colours = clips[:, None, 1:, :, ::2, ::2].contiguous()
    matrix = torch.from_numpy(to_rgb(1, False)).to(clips.device).expand(len(clips), 3, 4)
    return PlaneClips(clips[:, None, :1].contiguous(), colours, matrix, torch.tensor([clips.shape[-2:]] * len(clips)))


def by_torchvision(size: int, chance: dict[str, float]) -> Make:
    side = blur_side(size)
    one = v2.Compose([
        v2.RandomResizedCrop(size, AREA, ASPECT, antialias=True),
        v2.RandomHorizontalFlip(chance["flip"]),
        *([v2.RandomApply([v2.ColorJitter(**STRENGTHS)], chance["jitter"])] if chance["jitter"] else []),
        *([v2.RandomGrayscale(chance["grey"])] if chance["grey"] else []),
        *([v2.RandomApply([v2.GaussianBlur(side, SIGMA)], chance["blur"])] if chance["blur"] else []),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(MEAN, STD),
    ])  # fmt: skip
    return lambda clips: torch.stack([one(clip.transpose(0, 1)).transpose(0, 1) for clip in clips])


def by_kornia(size: int, chance: dict[str, float]) -> Make:
    from kornia import augmentation as K

    side = blur_side(size)
    each = K.VideoSequential(
        K.RandomResizedCrop((size, size), AREA, ASPECT),
        K.RandomHorizontalFlip(p=chance["flip"]),
        *([K.ColorJitter(**STRENGTHS, p=chance["jitter"])] if chance["jitter"] else []),
        *([K.RandomGrayscale(p=chance["grey"])] if chance["grey"] else []),
        *([K.RandomGaussianBlur((side, side), SIGMA, p=chance["blur"])] if chance["blur"] else []),
        K.Normalize(MEAN, STD),
        data_format="BCTHW",
        same_on_frame=True,
    )
    return lambda clips: each(clips.float() / 255)


def blur_side(size: int) -> int:
    """A tenth of the picture's side, as an odd number: the side that reelvec takes by itself."""
    return 2 * (size // 20) + 1


def contenders() -> tuple[dict[str, Callable[[int, dict[str, float]], Make]], dict[str, str]]:
    """Return those that can run here, and a word on those that cannot."""
    left_out = absent(["kornia"])
    peers = {"torchvision v2": by_torchvision, "kornia": by_kornia}
    ours = {"reelvec": by_reelvec, "reelvec fast": partial(by_reelvec, arithmetic="fast")}
    ours["reelvec fast yuv"] = partial(by_reelvec, arithmetic="fast", planes=True)
    return {**{name: make for name, make in peers.items() if name not in left_out}, **ours}, left_out


def measure(name: str, clips: Tensor, size: int, chance: dict[str, float], rounds: int) -> Row:
    """Return a line: clips a second of each."""
    work = {who: partial(build(size, chance), clips) for who, build in contenders()[0].items()}
    wanted = (len(clips), 3, clips.shape[2], size, size)
    for who, make in work.items():
        if tuple(make().shape) != wanted:
            raise RuntimeError(f"{who} makes views of another shape than {wanted}")
    if clips.is_cuda:
        work = {who: partial(waited_for, make) for who, make in work.items()}
    seconds = take_turns(work, rounds)
    over = {
        f"{ours.removeprefix('reelvec ')} over {who}": ratio(taken, seconds[ours])
        for ours in ("reelvec", "reelvec fast", "reelvec fast yuv")
        for who, taken in seconds.items()
        if not who.startswith("reelvec")
    }
    return {"operations": name, **{who: rate(len(clips), taken) for who, taken in seconds.items()}, **over}


def waited_for(make: Callable[[], Any]) -> None:
    make()
    torch.cuda.synchronize()


def random_clips(batch: int, height: int, width: int, device: str) -> Tensor:
    """Clips that are smooth as pictures are; what is in them costs nobody time."""
    rough = torch.rand(batch, 3, 8, height // 8, width // 8, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(rough.flatten(0, 1), size=(height, width), mode="bilinear")
    return (smooth.unflatten(0, (batch, 3)) * 255).to(torch.uint8).to(device)


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__)
    parser.add_argument("--batch", type=int, default=16, help="clips in a call (default: 16)")
    parser.add_argument("--device", default="cpu", help="cpu (one thread) or cuda (default: cpu)")
    given = parser.parse_args(argv)
    given.rounds = given.rounds or (2 if given.quick else 15)
    if given.quick:
        given.batch = 2
    one_thread()
    torch.manual_seed(0)
    described = machine("reelvec", "torch", "torchvision", "kornia", device=given.device)
    clips = random_clips(given.batch, 128, 171, given.device)
    rows = [measure(name, clips, 112, chance, given.rounds) for name, chance in CHANCES.items()]
    sizes = []
    for height, width, size in ((64, 85, 56), (128, 171, 112), (256, 341, 224)):
        few = random_clips(max(given.batch // 4, 1), height, width, given.device)
        sizes.append(
            measure(f"all, {height}x{width} to {size}", few, size, CHANCES["all, as a method draws them"], given.rounds)
        )
    where = "on one core" if given.device == "cpu" else "on the GPU"
    tables = [
        table(f"By operation, {given.batch} clips 8x128x171 to 112 in a call", f"Clips a second {where}.", rows),
        table(f"By size of the pictures, {len(few)} clips in a call", f"Clips a second {where}.", sizes),
    ]
    finish("views", given, described, tables, contenders()[1])


if __name__ == "__main__":
    main()
