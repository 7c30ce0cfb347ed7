"""Tests of what analysts use: model classes, views, the cookbook."""
