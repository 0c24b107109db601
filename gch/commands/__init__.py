"""What `python main_itpair.py` can do beside training and testing."""
