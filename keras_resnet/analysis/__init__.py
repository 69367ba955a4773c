"""What a network costs, what memory it needs, and where in an image it finds its evidence."""
