"""What a CI run came to: the last lines of the main job's log, and a JUnit report of its tasks.

Pure: values of a coordinator's answers in, text out. This package may import `protocol`, `model` and `errors`; it asks
nobody and writes no file.
"""

from nx_dte.summary.junit import junit_xml
from nx_dte.summary.output import first_error_line, plain_text, tail
from nx_dte.summary.report import RunReport, final_tasks
from nx_dte.summary.text import summary_lines

__all__ = [
    "RunReport",
    "final_tasks",
    "first_error_line",
    "junit_xml",
    "plain_text",
    "summary_lines",
    "tail",
]
