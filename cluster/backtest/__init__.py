"""Backtests: what a job finds in recorded rows, counted, compared with another job, and drawn.

`replay` runs engine and detectors, `counting` adds up what they find, `comparing` sets two jobs side by side, `inputs`
says where rows come from, `series` and `drawing` make pictures, `summary` and `page` say it all to people.
"""
