"""What deploys exports, and what asks them."""
