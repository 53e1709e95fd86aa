/* SPDX-License-Identifier: Apache-2.0
 *
 * The same database as in the tests of table/.
 */
#include "../table/fixture.c"
