"""For tests of your own projections: the same state, however the feed is cut and restarted."""

from treadle.testing.projections.checking import DualityError, any_feed, check_projection, feed_of

__all__ = ["DualityError", "any_feed", "check_projection", "feed_of"]
