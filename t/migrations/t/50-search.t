# fold(): two texts are the same word when their folds are, beyond ASCII and
# whatever the locale of the database; and the index that a list by due date needs.
use strict;
use warnings;
use utf8;
use Test::More;
use Migrations;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);
my $db = connect_db();
sub fold { return scalar $db->selectrow_array('SELECT taskevents.fold(?)', undef, $_[0]) }

for my $case (['Garden', 'gARDEN'], ['Äpfel', 'äPFEL'], ['STRASSE', 'Straße'], ['ДОМ', 'дом'], ['Ελλάδα', 'ΕΛΛΆΔΑ'], ['ΣΊΣΥΦΟΣ', 'σίσυφος'],
              ['Éclair', "E\x{301}clair"], ["\x{1F1}", "\x{1F3}"], ['ﬁsh', 'FISH'], ['Ǆ', 'ǆ'], ["\x{10400}", "\x{10428}"], ['', '']) {
    is fold($case->[0]), fold($case->[1]), "$case->[0] is $case->[1]";
}
for my $case (['a', 'ä'], ['o', 'ö'], ['straße', 'strase'], ['resume', 'résumé'], ['дом', 'дым'], ['a b', 'ab'], ['İ', 'I']) {
    isnt fold($case->[0]), fold($case->[1]), "$case->[0] is not $case->[1]";
}
is fold(fold($_)), fold($_), "folding $_ again changes nothing" for 'Straße', 'ΣΊΣΥΦΟΣ', "E\x{301}", 'ǅ';
is fold(undef), undef, 'NULL stays NULL';
is fold('x' x 1000), 'x' x 1000, 'a long one';

my ($volatility, $parallel) = $db->selectrow_array(q{
    SELECT provolatile, proparallel FROM pg_proc WHERE oid = 'taskevents.fold(text)'::regprocedure});
is fold('I'), 'i', 'no Turkish surprises';
is "$volatility$parallel", 'is', 'immutable and safe: an index may use it';

# the order by due date, tasks without one last, is read off the index
$db->begin_work;
$db->do(q{INSERT INTO taskevents.tasks (id, user_id, title, due_date, last_event_id, created_at, updated_at)
          SELECT n, CASE WHEN n % 100 = 0 THEN 'alice' ELSE 'u' || n % 500 END, 't',
                 CASE WHEN n % 3 > 0 THEN timestamptz '2031-01-01Z' + n * interval '1 hour' END, gen_random_uuid(), now(), now()
            FROM generate_series(1, 20000) AS n});
$db->do('ANALYZE taskevents.tasks');
my $plan = join "\n", @{ $db->selectcol_arrayref(q{EXPLAIN SELECT id FROM taskevents.tasks
    WHERE user_id = 'alice' AND (coalesce(due_date, 'infinity'), id) > ('2031-02-01Z'::timestamptz, 5::bigint)
    ORDER BY coalesce(due_date, 'infinity'), id LIMIT 51}) };
like $plan, qr/tasks_user_due/, 'the list by due date has its index' or diag $plan;
unlike $plan, qr/Sort|Seq Scan/, 'and sorts nothing';
$db->rollback;

done_testing;
