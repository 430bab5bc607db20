"""The master: policy, the pool's state and its transitions, and the children that it forks."""
