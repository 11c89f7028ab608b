"""Bundles of a trained style and the engines that run them."""
