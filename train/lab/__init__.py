"""The papers' experiments, from their runs to tables and figures: `python -m train.lab NAME`."""
