"""Whole-feed folds and what is made of them: projections, and slowly changing dimensions."""
