"""The template: loads one generation of the application and forks its workers."""
