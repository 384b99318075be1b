"""From a shop's raw files to the one typed view of them that nothing gets around."""
