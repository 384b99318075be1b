from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from histories import make_network
from modiste.errors import DataError
from modiste.models.learning.description import NetworkDescription
from modiste.models.learning.epochs import Epoch
from modiste.models.sasrec.fitting import TrainedNetwork

EPOCHS = (Epoch(1, 7.1, None), Epoch(2, 0.1 + 0.2, 0.0417))


def test_tells_what_the_network_was_saved_with(tmp_path: Path) -> None:
    network = make_network()
    trained = TrainedNetwork(network, np.ones((3, 2), np.float32), date(2020, 9, 16), EPOCHS, 2)
    trained.save(tmp_path)
    assert NetworkDescription.load(tmp_path) == NetworkDescription(
        as_of=date(2020, 9, 16),
        network=network.settings.model_dump(mode="json"),
        best_epoch=2,
        epochs=EPOCHS,
    )
    written = json.loads((tmp_path / "network.json").read_text())
    assert written["as_of"] == "2020-09-16"
    assert written["epochs"][0] == {"epoch": 1, "loss": 7.1, "ndcg": None}


def test_a_missing_or_damaged_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no trained network"):
        NetworkDescription.load(tmp_path)
    (tmp_path / "network.json").write_text('{"as_of": "2020-09-16"')
    for kind in (NetworkDescription, TrainedNetwork):
        with pytest.raises(DataError, match="train it anew"):
            kind.load(tmp_path)


def test_is_read_without_pytorch(tmp_path: Path) -> None:
    network = make_network().settings
    NetworkDescription(
        as_of=date(2020, 9, 16),
        network=network.model_dump(mode="json"),
        best_epoch=2,
        epochs=EPOCHS,
    ).save(tmp_path)
    program = (
        "import sys; from pathlib import Path\n"
        "from modiste.models.learning.description import NetworkDescription\n"
        "print(NetworkDescription.load(Path(sys.argv[1])).best_epoch, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["2", "False"]
