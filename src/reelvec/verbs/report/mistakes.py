"""What an encoder gets wrong: the errors it was surest of, and which classes it takes for which."""

import math
from collections import Counter

from reelvec.verbs.report.gallery import Answer, Gallery
from reelvec.verbs.report.markup import Html, join, percent, short, table, tag
from reelvec.verbs.report.pictures import Pictures, cell, file_name, plain_name, playing_row

WORST = 6
MOST_CLASSES = 30
"""of a matrix; with more, only what is mixed up most is listed"""

_MIXED_UP = 8


def worst(answers: list[Answer]) -> list[Answer]:
    """Return the wrong answers, the surest first; those without a probability last."""
    wrong = [answer for answer in answers if answer.named != answer.label]
    return sorted(wrong, key=lambda a: (math.inf if math.isnan(a.sure) else -a.sure, a.path))


def worst_block(gallery: Gallery, column: str, encoder: str, pictures: Pictures) -> Html:
    """Show the surest wrong answers."""
    answers = gallery.answers[column, encoder]
    wrong = worst(answers)
    if not wrong:
        return tag("p", f"All {len(answers)} answers are right.")
    cells = []
    for answer in wrong[:WORST]:
        sure = "" if math.isnan(answer.sure) else f", {percent(answer.sure)} % sure"
        alt = f"{plain_name(answer.path)}: taken for {short(answer.named, 40)}, is {short(answer.label, 40)}{sure}"
        words = [tag("span", "✗ taken for ", tag("b", short(answer.named, 40)), sure, class_="class wrong"),
                 tag("span", "is ", tag("b", short(answer.label, 40)), class_="class")]  # fmt: skip
        cells.append(cell(pictures.strip(answer.path, alt), file_name(answer.path), *words))
    begin = f"{len(wrong)} of {len(answers)} test videos are named wrongly; the surest of these answers:"
    return join([tag("p", begin), playing_row(f"Surest errors, {column}, {encoder}", *cells)])


def confusion_block(gallery: Gallery, column: str, encoder: str) -> Html:
    """Show which classes are taken for which: as a matrix where it fits, and the most frequent in words."""
    answers = gallery.answers[column, encoder]
    counted = Counter((answer.label, answer.named) for answer in answers)
    classes = sorted({name for pair in counted for name in pair})
    mixed = [(pair, many) for pair, many in counted.most_common() if pair[0] != pair[1]]
    of_class = Counter(answer.label for answer in answers)
    rows = [
        (short(label, 40), short(named, 40), str(many), f"{percent(many / of_class[label])} % of its {of_class[label]}")
        for (label, named), many in mixed[:_MIXED_UP]
    ]
    often = table("Most often mixed up", ["taken for", "times", "share of the class"], rows, corner="class") if rows else None
    if len(classes) > MOST_CLASSES:
        words = f"{len(classes)} classes are too many for a matrix; what is mixed up most is listed."
        return join([tag("p", words, class_="dim"), often])
    return tag("div", _matrix(classes, counted, of_class), often, class_="confusion")


def _matrix(classes: list[str], counted: Counter[tuple[str, str]], of_class: Counter[str]) -> Html:
    rows = []
    for label in classes:
        cells = []
        for named in classes:
            many = counted[label, named]
            strength = many / of_class[label] if of_class[label] else 0.0
            shade = f"--share:{strength:.3f}" if many else None
            kind = ("heat right" if label == named else "heat wrong") + (" strong" if strength > 0.5 else "")
            cells.append(tag("td", many or tag("span", "0", class_="zero"), class_=kind, style=shade))
        rows.append((short(label, 24), *cells))
    heads = [tag("span", short(name, 24)) for name in classes]
    caption = "How many test videos of each class (row) were named as which (column); right ones on the diagonal"
    return table(caption, heads, rows, class_="matrix", corner="is")
