"""Events in memory: values, columns, patterns, conditions, limits, and what waits for the next flush."""
