"""How good recommendations are: metrics, intervals, the backtest, and what is compared."""
