"""The chaos run: a real console and real instances, everything in it killed, frozen and cut off, its promises watched.

`__main__` is the program that `manage.py chaos` starts beside a real `up`. `people` publish, pause, cancel, roll back;
`faults` break things; `disks` and `books` watch what has to hold at every moment; `run` puts them together and lets
everything come to rest.
"""
