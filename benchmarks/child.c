/*
 * The child of all benchmarks. Its first act is to read the clock; then it tells the act.
 *
 *     child FIFO NUMBER                         sit until killed
 *     child FIFO NUMBER write BYTES RATE        write BYTES to stdout, 4 KiB at a time; RATE bytes a
 *                                               second, 0 for as fast as it can; tell the end, and leave
 *
 * An act is one line in the FIFO: "began NUMBER PID SECONDS" or "ended NUMBER PID SECONDS", on the
 * monotonic clock. A line is shorter than PIPE_BUF, so that no two of them mix.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 4096, LINE = 128 };

static void tell(const char *fifo, const char *what, const char *number, const struct timespec *at)
{
    char line[128];
    int length = snprintf(line, sizeof line, "%s %s %d %ld.%09ld\n", what, number, (int)getpid(),
                          (long)at->tv_sec, at->tv_nsec);
    int fd = open(fifo, O_WRONLY);
    if (fd < 0 || write(fd, line, length) != length)
        exit(3);
    close(fd);
}

static void write_all(long long bytes, double rate)
{
    char chunk[CHUNK];
    memset(chunk, 'x', sizeof chunk);
    for (int end = LINE - 1; end < CHUNK; end += LINE)
        chunk[end] = '\n';
    struct timespec due;
    clock_gettime(CLOCK_MONOTONIC, &due);
    while (bytes > 0) {
        ssize_t done = write(1, chunk, bytes < CHUNK ? (size_t)bytes : CHUNK);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            exit(4);
        bytes -= done;
        if (rate > 0) {
            due.tv_nsec += (long)(done / rate * 1e9);
            while (due.tv_nsec >= 1000000000) {
                due.tv_nsec -= 1000000000;
                due.tv_sec++;
            }
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
        }
    }
}

int main(int count, char **words)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (count < 3)
        return 2;
    tell(words[1], "began", words[2], &now);
    if (count < 6) {
        for (;;)
            pause();
    }
    write_all(atoll(words[4]), atof(words[5]));
    clock_gettime(CLOCK_MONOTONIC, &now);
    tell(words[1], "ended", words[2], &now);
    return 0;
}
