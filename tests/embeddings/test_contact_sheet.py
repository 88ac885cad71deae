import cv2
import numpy as np

from reelvec.embeddings.contact_sheet import FRAMES, SheetRow, _Pen, draw_sheet


def test_size_and_place_of_the_frames() -> None:
    frames = np.full((FRAMES, 132, 100, 3), 255, np.uint8)
    rows = [SheetRow("/videos/a/query.mp4", 0.0, 2.0), SheetRow("/videos/b/found.mp4", 0.0, 2.0, 0.75)]
    sheet = draw_sheet(rows, [frames, frames], (132, 176))
    white = (sheet == 255).all(2)
    assert white[:, 320:].sum() == 2 * FRAMES * 132 * 100  # every frame whole, none over another
    assert not white[:20].any()


def test_the_bar_is_as_long_as_the_similarity() -> None:
    def bar(similarity: float) -> int:
        sheet = draw_sheet([SheetRow("q", 0.0, 1.0), SheetRow("a", 0.0, 1.0, similarity)], [None, None], (132, 132))
        return int((np.abs(sheet.astype(int) - (79, 195, 247)).sum(2) < 12).any(0).sum())

    assert bar(0.5) * 2 == bar(1.0)
    assert bar(-0.3) == bar(0.0) == 0


def test_rows_without_frames_and_names_of_any_letters() -> None:
    rows = [SheetRow("/видео/запрос.mp4", 0.0, 1.0), SheetRow("/" + "long" * 60 + "/" + "x" * 200 + ".mp4", 0.0, 1.0, 1.0)]
    sheet = draw_sheet(rows, [None, None], (132, 100))
    assert sheet.std() > 0


def test_long_names_keep_both_ends_and_fit() -> None:
    short = _Pen.fitting("a_very_long_name_of_a_video_of_the_first_camera_on_the_second_day.mp4", 0.5, 200)
    assert short.startswith("a_very")
    assert short.endswith("day.mp4")
    assert "..." in short
    assert cv2.getTextSize(short, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)[0][0] <= 205
    assert _Pen.fitting("short.mp4", 0.5, 200) == "short.mp4"


def test_a_single_row_is_a_sheet() -> None:
    assert draw_sheet([SheetRow("q", 0.0, 1.0)], [None], (132, 100)).shape[0] == 132 + 40
