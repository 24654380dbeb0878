# The commands of the runbook, against the service that TASKEVENTS_URL names: an
# operator who is called at night should not find out that they do not work.
use strict;
use warnings;

use Encode qw(encode);
use File::Temp ();
use Test::More;
use TaskEvents::Docs qw(blocks read_file src);

plan skip_all => 'TASKEVENTS_STATUS_URL and TASKEVENTS_DSN name no service'
    if !$ENV{TASKEVENTS_STATUS_URL} || !$ENV{TASKEVENTS_DSN};
$ENV{TASKEVENTS_METRICS_URL} //= "$ENV{TASKEVENTS_URL}/taskevents-metrics";

my @blocks = grep { $_->{language} eq 'sh' } blocks(read_file(src() . '/docs/operations/runbook.md'));
cmp_ok(scalar @blocks, '>', 0, 'there are commands');
for my $block (@blocks) {
    my $script = File::Temp->new(SUFFIX => '.sh');
    print $script encode('UTF-8', $block->{text});
    close $script;
    my $said = qx(bash -euo pipefail $script 2>&1);
    is($?, 0, "line $block->{line} works") or diag($said);
    like($said, qr/\S/, '… and says something');
}
done_testing();
