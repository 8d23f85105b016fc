/* probe.h - is io_uring(7) to be had here, and does it work?  Knows no loop. */
#ifndef STOA_BACKEND_PROBE_H
#define STOA_BACKEND_PROBE_H

/* 0, or the negative errno by which this kernel, its settings or a filter refuse a ring.  Found
 * out once for the process. */
int probe_uring(void);

/* What such an errno means, as the end of a sentence. */
const char *probe_reason(int error);

#endif
