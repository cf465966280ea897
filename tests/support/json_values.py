"""Hypothesis strategies for JSON: every awkward character and number, from a small, fast alphabet."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For machines that are busy or slow: no verdict of a property depends on time."""

ALPHABET = 'ab0 "\\/{}[]:,\u0000\u001f\n\r\t\u007f\u0085é€ﷺ\u2028\ufeff\uffff😀𝅘𝅥𝅮'

texts = st.text(ALPHABET, max_size=12)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
objects = st.dictionaries(texts, values, max_size=5)
