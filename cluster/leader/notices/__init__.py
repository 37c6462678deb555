"""The notification policy of a job on its leader: `policy` decides, purely; `notifying` has it done."""
