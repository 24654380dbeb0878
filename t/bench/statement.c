/* Prints the SQL of a new task as the module sends it: pgbench runs the same,
 * whatever becomes of it. Built together with store/statements.c. */
#include <stdio.h>

#include "store/statements.h"

int main(void)
{
    return puts(te_statement(TE_TASK_CREATE)->sql) < 0;
}
