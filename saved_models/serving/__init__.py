"""Servers of exports, a client that asks them, and a page to look at one."""
