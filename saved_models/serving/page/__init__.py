"""A web page to drop images on, which shows what an export sees in them."""
