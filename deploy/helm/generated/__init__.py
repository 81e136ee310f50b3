"""What the chart has of Python: a module for each concern."""
