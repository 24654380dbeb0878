/* One program of libFuzzer for all targets: TASKEVENTS_FUZZ names one. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const fuzz_target_t *target;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *name = getenv("TASKEVENTS_FUZZ");

    (void)argc;
    (void)argv;
    target = name != NULL ? fuzz_target(name) : NULL;
    if (target == NULL) {
        fprintf(stderr, "TASKEVENTS_FUZZ has to name a target\n");
        exit(1);
    }
    fuzz_init();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    fuzz_run(target, bytes, size);
    return 0;
}
