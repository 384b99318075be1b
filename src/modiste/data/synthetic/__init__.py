"""A synthetic fashion shop in the format of the Kaggle H&M data, with its truth.

``write_shop`` writes the tables; docs/synthetic-shop.md tells the model behind them.
"""

from modiste.data.synthetic.settings import MODEL, SCALES, Model, ShopSize
from modiste.data.synthetic.write import ShopSummary, write_shop

__all__ = ["MODEL", "SCALES", "Model", "ShopSize", "ShopSummary", "write_shop"]
