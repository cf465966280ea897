"""The parts of `scripts/build_catalogue.py`: what two sources and our reviewers say, as one catalogue."""
