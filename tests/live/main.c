/* SPDX-License-Identifier: Apache-2.0
 *
 * The harness of the unit tests, for a program of its own: live queries need a whole database.
 */
#include "../unit/main.c"
