import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"


def test_the_example_of_an_algorithm_on_its_own_runs(capsys):
    """The block that trains FSL-SAGE by hand, as it stands in the README."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (example,) = [block for block in blocks if "algorithm.step" in block]
    found: dict = {}
    exec(example, found)
    assert found["scores"].accuracy > 0.3
    assert found["state"].round == 3
    assert {"smashed", "labels", "model"} <= found["report"].traffic[0].up.keys()
    assert "auxiliary" not in found["report"].traffic[0].down           # aligned in the first round, and not again in the third
    assert float(capsys.readouterr().out.split()[0]) == pytest.approx(found["scores"].accuracy)
