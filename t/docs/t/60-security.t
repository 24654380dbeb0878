# Each line of docs/security.md's tables of threats names tests that are there.
use strict;
use warnings;

use Test::More;
use TaskEvents::Docs qw(read_file src);

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $text = read_file(src() . '/docs/security.md');
my ($threats) = $text =~ /^## Threats\n(.*?)^## /ms or BAIL_OUT('no threats');
my $rows = 0;

for my $row ($threats =~ /^\|(?! *(?:threat|---))(.+)\|$/mg) {
    my @cells = map { s/^\s+|\s+$//gr } split /\s\|\s/, $row;
    is(scalar @cells, 3, "three cells: $cells[0]") or next;
    ok(length $cells[1] > 10, '… a defence');
    ++$rows;
    my @proofs = split /;\s+(?=`)/, $cells[2];
    ok(scalar @proofs, '… and a test');
    for my $proof (@proofs) {
        my ($file, $words) = $proof =~ /^`(t\/[^`]+)`\s*(.*)$/;
        ok(defined $file && -f src() . "/$file", "… $proof: the file is there") or next;
        ok(length $words || $file =~ /(?:20-no-token|convergence)\.t$/, '… with words of it');
        ok(index(read_file(src() . "/$file"), $words) >= 0, "… which has '$words'");
    }
}
cmp_ok($rows, '>=', 45, 'there are lines');

# what the document asks for is there
like($text, qr/\bconf\/postgresql-role\.sql\b/, 'the role is named');
ok(-f src() . '/conf/postgresql-role.sql', 'and there');

done_testing();
