"""The naive engine: the anomaly engine's rules once more, row by row, in plain Python, slow and easy to believe.

It shares no code with the engine it checks. Values are Python's own (`None` is NULL); sums and quotients are computed
as exact fractions, and a number that had to be rounded is marked (`numbers.Rounded`), so that a test can tell a wrong
answer from two right answers that differ in the last bit.
"""
