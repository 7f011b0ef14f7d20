import subprocess
import sys

from dailytalk_contiguous.run.processor_time import ProcessorTime, read_processor_time


def test_processor_time_is_that_of_threads_and_of_child_processes_that_ended() -> None:
    before = read_processor_time()
    subprocess.run([sys.executable, "-c", "sum(range(20_000_000))"], check=True)
    spent = read_processor_time().since(before)
    assert spent.process > 0
    assert spent.all_programs is None or spent.all_programs > 0


def test_work_of_others_is_unknown_where_the_system_counts_none() -> None:
    counted = ProcessorTime(wall=10.0, process=4.0, all_programs=9.0)
    uncounted = ProcessorTime(wall=2.0, process=1.0, all_programs=None)
    assert counted.other_programs == 5.0
    assert uncounted.other_programs is None
    assert counted + uncounted == ProcessorTime(12.0, 5.0, None)
    assert counted.since(uncounted).other_programs is None
