"""What tasks of arrays run: functions on blocks."""
