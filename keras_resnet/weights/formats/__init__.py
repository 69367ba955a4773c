"""Readers of foreign files, which run nothing of them and know shapes before they take memory."""
