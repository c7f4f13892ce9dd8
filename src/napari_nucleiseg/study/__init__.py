"""Studies: a grid of trainings on one data folder, tested on one split, with tables and figures."""
