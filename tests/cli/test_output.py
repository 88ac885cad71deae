import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from reelvec.cli.output import only_results_on_stdout, plain, show
from reelvec.cli.tables import facts_table


def test_everything_a_verb_returns_becomes_json() -> None:
    content = {
        "path": Path("a/b"),
        "nan": math.nan,
        "array": np.float32([1, math.inf]),
        "tensor": torch.tensor([[1, 2]]),
        "flag": np.bool_(True),
        3: (1, 2),
    }
    expected = {"path": "a/b", "nan": None, "array": [1.0, None], "tensor": [[1, 2]], "flag": True, "3": [1, 2]}
    assert json.loads(json.dumps(plain(content))) == expected


def test_json_is_alone_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    with only_results_on_stdout(as_json=True):
        print("a library that talks")
    show({"a": 1}, facts_table, as_json=True)
    out, err = capsys.readouterr()
    assert json.loads(out) == {"a": 1}
    assert "a library that talks" in err


def test_a_table_is_drawn_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    show({"videos_found": 12, "codecs": {"h264": 10, "vp9": 2}}, facts_table, as_json=False)
    assert capsys.readouterr().out.split() == ["videos", "found", "12", "codecs", "h264", "10,", "vp9", "2"]
