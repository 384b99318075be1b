"""RecBole's LightGCN on what ``gowalla_speed.py`` hands over; runs in RecBole's own environment.

    PEER_PYTHON benchmarks/gowalla_recbole.py FOLDER SECONDS THREADS

FOLDER holds ``known.npz``, users by items. RecBole reads the pairs, draws batches of 8,192 and
negatives, and computes the loss, all by its own code and defaults (BPR, Adam at 1e-3, 64
dimensions); the loop over epochs is its trainer's without the evaluation. After each epoch the
vectors are written to FOLDER as ``factors-000.npz`` and so on, with the seconds of training so far.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.general_recommender import LightGCN
from recbole.utils import init_seed


class Patched(LightGCN):  # type: ignore[misc]
    """With its matrix made by today's SciPy, which has lost the method that RecBole calls."""

    def get_norm_adj_mat(self) -> Any:
        """The same matrix; making it is not timed."""
        rows = self.interaction_matrix.tocsr()
        both = sp.bmat([[None, rows], [rows.T, None]]).tocsr()
        scale = sp.diags(np.power(np.asarray(both.sum(1)).ravel() + 1e-7, -0.5))
        found = (scale @ both @ scale).tocoo()
        return torch.sparse_coo_tensor(
            torch.from_numpy(np.stack([found.row, found.col]).astype(np.int64)),
            torch.from_numpy(found.data.astype(np.float32)),
            found.shape,
        )


def main(folder: Path, seconds: float, threads: int) -> None:
    """Train until the time is up."""
    config = Config(model="LightGCN", dataset="gowalla", config_dict=settings(folder))
    # Its configuration sets the number of threads, too.
    torch.set_num_threads(threads)
    init_seed(1, reproducibility=True)
    write_pairs(folder)
    dataset = create_dataset(config)
    batches = data_preparation(config, dataset)[0]
    network = Patched(config, batches.dataset)
    optimizer = torch.optim.Adam(network.parameters(), lr=config["learning_rate"])
    places = [
        dataset.id2token(field, np.arange(1, dataset.num(field))).astype(int)
        for field in (dataset.uid_field, dataset.iid_field)
    ]
    spent, epoch = 0.0, 0
    while spent < seconds:
        network.train()
        started = time.perf_counter()
        for batch in batches:
            optimizer.zero_grad()
            network.calculate_loss(batch).backward()
            optimizer.step()
        spent += time.perf_counter() - started
        network.eval()
        with torch.no_grad():
            made = network()
        users, items = (in_our_order(each, place) for each, place in zip(made, places, strict=True))
        partial = folder / "partial.npz"
        np.savez(partial, seconds=spent, users=users, items=items)
        partial.rename(folder / f"factors-{epoch:03d}.npz")
        epoch += 1


def settings(folder: Path) -> dict[str, Any]:
    """What RecBole is told; all else is its default."""
    return {
        "data_path": str(folder),
        "load_col": {"inter": ["user_id", "item_id"]},
        "eval_args": {"split": {"RS": [1.0, 0.0, 0.0]}, "order": "RO", "group_by": None},
        "train_batch_size": 8192,
        "n_layers": 3,
        "use_gpu": False,
        "state": "ERROR",
        "show_progress": False,
        "checkpoint_dir": str(folder),
    }


def write_pairs(folder: Path) -> None:
    """The pairs as RecBole reads them."""
    users, items = sp.load_npz(folder / "known.npz").nonzero()
    (folder / "gowalla").mkdir()
    np.savetxt(
        folder / "gowalla" / "gowalla.inter",
        np.stack([users, items], axis=1),
        fmt="%d",
        delimiter="\t",
        header="user_id:token\titem_id:token",
        comments="",
    )


def in_our_order(vectors: torch.Tensor, places: Any) -> Any:
    """RecBole numbers from 1, in the order of reading; 0 is padding."""
    ours = np.zeros((places.max() + 1, vectors.shape[1]), dtype=np.float32)
    ours[places] = vectors[1:].numpy()
    return ours


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
