"""Numbers from elsewhere, each with its source; none was computed by this package."""
