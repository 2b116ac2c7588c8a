"""Tasks: what goes on after its call was answered. docs/tasks.md tells the way of one."""

from gateway.pipeline.tasks.keeping import Tasks
from gateway.pipeline.tasks.live import Live
from gateway.pipeline.tasks.pace import Pace

__all__ = ["Live", "Pace", "Tasks"]
