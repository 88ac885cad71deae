from pathlib import Path

import cv2
import numpy as np
import pytest

from reelvec.core import ReelvecError
from reelvec.evals.dense.frame_folders import read_frame_folder

SIZE = (6, 8)


def square(number: int) -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[1:3, number : number + 2] = 255
    return mask


def write(folder: Path, below: str = "480p/dog", frames: int = 3, masks: dict[int, np.ndarray] | None = None) -> Path:
    for number in range(frames):
        path = folder / "JPEGImages" / below / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((*SIZE, 3), 20 * number, np.uint8))
    for number, mask in (masks or {number: square(number) for number in range(frames)}).items():
        path = folder / "Annotations" / below / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), mask)
    return folder


def write_palette(path: Path, indices: np.ndarray) -> None:
    """Write an indexed PNG, which OpenCV cannot: the chunks by hand."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = indices.shape
    colours = np.random.default_rng(0).integers(0, 256, (8, 3), dtype=np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in indices)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"PLTE", colours.tobytes()) + chunk(b"IDAT", zlib.compress(rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content + chunk(b"IEND", b""))


@pytest.mark.parametrize(("below", "name"), [("480p/dog", "dog"), ("dog", "dog"), ("", "clip")])
def test_layouts_of_davis(tmp_path: Path, below: str, name: str) -> None:
    (found,) = read_frame_folder(write(tmp_path / "clip", below))
    assert (found.name, len(found)) == (name, 3)
    assert found.frame(2).shape == (*SIZE, 3)
    assert np.array_equal(found.mask(1, SIZE), square(1) // 255)


def test_a_plain_folder_of_both(tmp_path: Path) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number:05d}.jpg"), np.zeros((*SIZE, 3), np.uint8))
        cv2.imwrite(str(tmp_path / f"{number:05d}.png"), square(number))
    (found,) = read_frame_folder(tmp_path)
    assert (found.name, len(found)) == (tmp_path.name, 3)
    assert found.mask(0, SIZE) is not None


def test_masks_of_several_objects(tmp_path: Path) -> None:
    write(tmp_path, frames=3)
    several = np.zeros(SIZE, np.uint8)
    several[0, :3], several[4, 2:], several[5, 0] = 1, 2, 255
    annotations = tmp_path / "Annotations/480p/dog"
    write_palette(annotations / "00000.png", np.where(several == 255, 0, several))
    cv2.imwrite(str(annotations / "00001.png"), several)
    cv2.imwrite(str(annotations / "00002.png"), np.repeat(square(2)[..., None], 3, 2))
    (found,) = read_frame_folder(tmp_path)
    for number in (0, 1):  # 255 beside other numbers: not judged, and taken as background
        assert np.array_equal(found.mask(number, SIZE), np.where(several == 255, 0, several))
    assert np.array_equal(found.mask(2, SIZE), square(2) // 255)  # grey in three channels


def test_masks_may_be_empty_full_or_absent(tmp_path: Path) -> None:
    masks = {0: square(0), 1: np.zeros(SIZE, np.uint8), 2: np.full(SIZE, 255, np.uint8)}
    (found,) = read_frame_folder(write(tmp_path, frames=4, masks=masks))
    assert found.mask(1, SIZE).sum() == 0
    assert found.mask(2, SIZE).min() == 1
    assert found.mask(3, SIZE) is None


def test_sequences_are_chosen_by_name_and_by_list(tmp_path: Path) -> None:
    for name in ("cat", "dog", "eel"):
        write(tmp_path, f"480p/{name}")
    assert [one.name for one in read_frame_folder(tmp_path)] == ["cat", "dog", "eel"]
    assert [one.name for one in read_frame_folder(tmp_path, ["eel", "cat"])] == ["cat", "eel"]
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets/val.txt").write_text("dog\n\n")
    assert [one.name for one in read_frame_folder(tmp_path, ["ImageSets/val.txt"])] == ["dog"]
    with pytest.raises(ReelvecError, match="not cow"):
        read_frame_folder(tmp_path, ["cow"])
    with pytest.raises(ReelvecError, match=r"no list of sequences train\.txt"):
        read_frame_folder(tmp_path, ["train.txt"])


def test_a_sequence_in_two_resolutions_has_to_be_chosen(tmp_path: Path) -> None:
    write(tmp_path, "240p/dog")
    write(tmp_path, "480p/dog")
    write(tmp_path, "480p/cat")
    with pytest.raises(ReelvecError, match="more than once"):
        read_frame_folder(tmp_path)
    chosen = read_frame_folder(tmp_path, ["480p/dog", "cat"])
    assert sorted(one.name for one in chosen) == ["480p/dog", "cat"]


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda f: (f / "Annotations/480p/dog/00000.png").unlink(), "no mask of the first frame"),
        (lambda f: (f / "JPEGImages/480p/dog/00002.jpg").unlink(), "without a frame of that name"),
        (lambda f: (f / "Annotations").rename(f / "masks"), "3 frames and 0 masks"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path: Path, break_it: object, says: str) -> None:
    write(tmp_path)
    break_it(tmp_path)
    with pytest.raises(ReelvecError, match=says):
        read_frame_folder(tmp_path)


def test_files_that_do_not_fit_are_said_when_they_are_read(tmp_path: Path) -> None:
    write(tmp_path)
    annotations = tmp_path / "Annotations/480p/dog"
    colours = np.zeros((*SIZE, 3), np.uint8)
    colours[1, 1] = (10, 200, 30)
    cv2.imwrite(str(annotations / "00001.png"), colours)
    (annotations / "00002.png").write_bytes(b"no picture")
    (tmp_path / "JPEGImages/480p/dog/00001.jpg").write_bytes(b"no picture")
    (found,) = read_frame_folder(tmp_path)
    with pytest.raises(ReelvecError, match="frames of 9 x 9"):
        found.mask(0, (9, 9))
    with pytest.raises(ReelvecError, match="colours without a palette"):
        found.mask(1, SIZE)
    with pytest.raises(ReelvecError, match="no picture"):
        found.mask(2, SIZE)
    with pytest.raises(ReelvecError, match="no picture"):
        found.frame(1)
    with pytest.raises(ReelvecError, match="no such folder"):
        read_frame_folder(tmp_path / "elsewhere")


def test_real_masks(shared_data: Path) -> None:
    folder = shared_data / "davis2016_subset"
    if not folder.is_dir():
        pytest.skip("no davis2016_subset")
    found = {one.name: one for one in read_frame_folder(folder)}
    assert len(found) == 10
    assert sum(len(one) for one in found.values()) == 561
    dog = found["dog"]
    mask = dog.mask(0, dog.frame(0).shape[:2])
    assert mask.shape == (240, 427)
    assert set(np.unique(mask)) == {0, 1}
