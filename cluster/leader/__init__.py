"""The leader: what runs the jobs of the group while its member leads."""
