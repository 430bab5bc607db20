"""The master: the pool's state, the policy, and the children that it forks."""
