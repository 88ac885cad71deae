import numpy as np
import pytest

from reelvec.evals.dense.box_metrics import (
    ScoredBoxes,
    TrueBoxes,
    average_precision,
    box_iou,
    match_boxes,
    mean_average_precision,
)


def one_class(flags: list[int]) -> np.ndarray:
    return np.array(flags, bool)[:, None]


def test_iou_by_hand() -> None:
    boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6]], float)
    assert box_iou(boxes, boxes[:2]) == pytest.approx(np.array([[1, 1 / 7], [1 / 7, 1], [0, 0]]))


def test_the_truth_with_its_labels_gets_one() -> None:
    rng = np.random.default_rng(0)
    truth, found = [], []
    for _ in range(6):
        corner = rng.random((4, 2))
        boxes = np.concatenate([corner, corner + 0.2], 1)
        classes = rng.random((4, 5)) < 0.4
        truth.append(TrueBoxes(boxes, classes))
        found.append(ScoredBoxes(boxes, classes.astype(float)))
    assert mean_average_precision(match_boxes(found, truth)) == 1


def test_average_precision_by_hand() -> None:
    """Three to find in two frames; by falling score: hit, miss, hit, the same one again (a miss), and one is never found."""
    here, there, off = [0.0, 0.0, 1.0, 1.0], [2.0, 2.0, 3.0, 3.0], [5.0, 5.0, 6.0, 6.0]
    truth = [TrueBoxes(np.array([here, there]), one_class([1, 1])), TrueBoxes(np.array([here]), one_class([1]))]
    found = [
        ScoredBoxes(np.array([here, off]), np.array([[0.9], [0.8]])),
        ScoredBoxes(np.array([here, [0.0, 0.0, 1.0, 0.9]]), np.array([[0.7], [0.6]])),
    ]
    (matches,) = match_boxes(found, truth)
    assert matches.hit.tolist() == [True, False, True, False]
    # precision 1, 1/2, 2/3, 1/2 at recall 1/3, 1/3, 2/3, 2/3: area 1/3 * 1 + 1/3 * 2/3
    assert average_precision(matches) == pytest.approx(1 / 3 + 2 / 9)


def test_half_an_overlap_is_enough_and_less_is_not() -> None:
    truth = [TrueBoxes(np.array([[0.0, 0.0, 2.0, 1.0]]), one_class([1]))]
    for width, value in ((1.0, 1), (0.99, 0)):
        found = [ScoredBoxes(np.array([[0.0, 0.0, width, 1.0]]), np.array([[0.5]]))]
        assert mean_average_precision(match_boxes(found, truth)) == value


def test_a_box_whose_best_is_taken_does_not_take_the_second() -> None:
    truth = [TrueBoxes(np.array([[0.0, 0.0, 1.0, 1.0], [0.1, 0.0, 1.1, 1.0]]), one_class([1, 1]))]
    found = [ScoredBoxes(np.array([[0.0, 0.0, 1.0, 1.0], [0.01, 0.0, 1.01, 1.0]]), np.array([[0.9], [0.8]]))]
    assert match_boxes(found, truth)[0].hit.tolist() == [True, False]


def test_classes_without_anything_to_find_do_not_count() -> None:
    box = np.array([[0.0, 0.0, 1.0, 1.0]])
    truth = [TrueBoxes(box, np.array([[True, False]]))]
    matches = match_boxes([ScoredBoxes(box, np.array([[0.2, 0.9]]))], truth)
    assert np.isnan(average_precision(matches[1]))
    assert mean_average_precision(matches) == 1
    assert np.isnan(mean_average_precision(matches[1:]))


def slow_average_precision(found: list[ScoredBoxes], truth: list[TrueBoxes], kind: int) -> float:
    """From the definition: a list of all boxes, thresholds one by one, the best precision at any recall beyond."""
    every = [(-s.scores[i, kind], f, i) for f, s in enumerate(found) for i in range(len(s.boxes))]
    taken: set[tuple[int, int]] = set()
    total = sum(int(t.classes[:, kind].sum()) for t in truth)
    points, hits = [], 0
    for count, (_, f, i) in enumerate(sorted(every), 1):
        x0, y0, x1, y1 = found[f].boxes[i]
        best, most = None, -1.0
        for j in np.flatnonzero(truth[f].classes[:, kind]):
            u0, v0, u1, v1 = truth[f].boxes[j]
            both = max(0, min(x1, u1) - max(x0, u0)) * max(0, min(y1, v1) - max(y0, v0))
            overlap = both / ((x1 - x0) * (y1 - y0) + (u1 - u0) * (v1 - v0) - both)
            if overlap > most:
                best, most = int(j), overlap
        if best is not None and most >= 0.5 and (f, best) not in taken:
            taken.add((f, best))
            hits += 1
        points.append((hits / total, hits / count))
    return sum(
        (recall - (points[n - 1][0] if n else 0)) * max(p for r, p in points[n:]) for n, (recall, _) in enumerate(points)
    )


def test_it_equals_the_slow_version_and_resampling_equals_repeating() -> None:
    rng = np.random.default_rng(1)
    truth, found = [], []
    for _ in range(8):
        corner = rng.random((5, 2)) * 0.5
        truth.append(TrueBoxes(np.concatenate([corner, corner + 0.4], 1), rng.random((5, 3)) < 0.5))
        moved = corner + rng.normal(0, 0.08, (5, 2))
        found.append(ScoredBoxes(np.concatenate([moved, moved + 0.4], 1), rng.random((5, 3))))
    matches = match_boxes(found, truth)
    for kind in range(3):
        assert average_precision(matches[kind]) == pytest.approx(slow_average_precision(found, truth, kind))
    times = np.array([0, 2, 1, 0, 3, 1, 1, 0])
    again = [n for n, many in enumerate(times) for _ in range(many)]
    repeated = match_boxes([found[n] for n in again], [truth[n] for n in again])
    assert mean_average_precision(matches, times) == pytest.approx(mean_average_precision(repeated), abs=0.01)


def key_frames(seed: int) -> tuple[list[TrueBoxes], list[ScoredBoxes]]:
    """Twelve key frames with boxes of four classes, two scored boxes near each true one and two strays."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(12):
        corner = rng.uniform(0, 0.6, (rng.integers(1, 5), 2))
        boxes = np.concatenate([corner, corner + rng.uniform(0.1, 0.4, corner.shape)], 1)
        classes = rng.random((len(boxes), 4)) < [0.6, 0.4, 0.2, 0.05]
        near, stray = np.repeat(boxes, 2, 0) + rng.normal(0, 0.03, (2 * len(boxes), 4)), rng.uniform(0, 0.5, (2, 2))
        some = np.concatenate([near, np.concatenate([stray, stray + 0.3], 1)])
        scores = rng.random((len(some), 4))
        scores[: 2 * len(boxes)] += 0.5 * np.repeat(classes, 2, 0)
        truth.append(TrueBoxes(boxes, classes))
        found.append(ScoredBoxes(some, scores))
    return truth, found


# what the Pascal evaluator of the TensorFlow object detection API, by which AVA is judged, gives for these (class by class)
OFFICIAL = {
    0: (0.6354321785694333, 0.73125, 0.7333333333333333, 1.0),
    1: (0.7501592085341322, 0.8446922642574818, 0.7254901960784313, 0.038461538461538464),
    2: (0.5705729446619071, 0.6675369075369076, 0.8472402597402597, 1.0),
}


@pytest.mark.parametrize("seed", OFFICIAL)
def test_it_is_the_official_number(seed: int) -> None:
    truth, found = key_frames(seed)
    matches = match_boxes(found, truth)
    assert [average_precision(one) for one in matches] == pytest.approx(OFFICIAL[seed], abs=1e-12)
    assert mean_average_precision(matches) == pytest.approx(np.mean(OFFICIAL[seed]), abs=1e-12)
