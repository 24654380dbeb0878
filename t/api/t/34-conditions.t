# If-Match in all its forms, on everything that changes a task.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my $u = user('match');
my $task = create($u);
my $id = $task->{id};
my ($n, $done) = (0, 0);
my $version = 1;
my %try = (
    PATCH => sub { return request(PATCH => task_path($u, $id), as => $u, json => { title => 'title ' . ++$n }, @_) },
    complete => sub { return request(POST => task_path($u, $id, 'complete'), as => $u, json => { completed => $done ? JSON::PP::false : JSON::PP::true }, @_) },
    DELETE => sub { return request(DELETE => task_path($u, $id), as => $u, @_) },
);

# what holds for version V: V stands for the version of that moment
for my $what (qw(PATCH complete)) {
    for my $form ('"V"', '"0", "V"', '"0","V"', '"V" , "0"', ' "V" ', '*', '"V-gzip"', '"V-br"', '"0", "V-gzip"', '"9999999999999999999999", "V"', ',, "V"', 'x, "V"') {
        my $value = $form =~ s/V/$version/r;
        my $a = $try{$what}->(headers => ['If-Match' => $value]);
        is $a->{status}, 200, "$what, If-Match: $form";
        is $a->{headers}{etag}, '"' . ++$version . '"', '… the next version';
        $done = $a->{json}{completed};
    }
    my $a = $try{$what}->(headers => ['If-Match' => '"0"', 'If-Match' => "\"$version\""]);
    is $a->{status}, 200, "$what, two If-Match headers are one list";
    $done = $a->{json}{completed};
    ++$version;
}
# what does not, on all three
for my $what (qw(PATCH complete DELETE)) {
    for my $form ('"0"', '"N"', '"1V"', '"V1"', '"V', 'V"', 'V', 'W/"V"', 'w/"V"', 'W/"V-gzip"', '"V-zip"', '"V-gzip-br"', '"V-GZIP"', '"-gzip"', '""', '', '"', ',', 'W/*', 'W/',
                  '"*"', '"V" "V"', "'V'", '"0V"', '"+V"', '"V "', '" V"', '"0", W/"V"', '"%56"', 'x' x 3000, join(', ', map { "\"x$_\"" } 1 .. 300)) {
        my $value = $form =~ s/V/$version/gr =~ s/N/$version + 1/er;
        is_problem($try{$what}->(headers => ['If-Match' => $value]), 412, "$what, If-Match: " . substr $form, 0, 30);
    }
}
my @before = events($u);
is scalar(@before), $version, 'an event for each version, and for nothing else';
is request(GET => task_path($u, $id), as => $u)->{json}{version}, $version, 'nothing changed it';

# on what has no version yet it says nothing
is request(POST => task_path($u), as => $u, json => { title => 'x' }, headers => ['If-Match' => '"1"'])->{status}, 201, 'POST: no task to match';
is request(GET => task_path($u, $id), as => $u, headers => ['If-Match' => '"0"'])->{status}, 200, 'GET: only If-None-Match counts';
is request(GET => task_path($u, $id), as => $u, headers => ['If-None-Match' => "\"$version\"", 'If-Match' => '"0"'])->{status}, 304, 'also with both';
is request(PATCH => task_path($u, $id), as => $u, json => {}, headers => ['If-None-Match' => '*'])->{status}, 200, 'PATCH: only If-Match counts';

# a way to work: read, change, be told, read again
my $etag = request(GET => task_path($u, $id), as => $u)->{headers}{etag};
is $try{PATCH}->(headers => ['If-Match' => $etag])->{status}, 200, 'changed as read';
is_problem($try{PATCH}->(headers => ['If-Match' => $etag]), 412, 'and no longer');
like detail_of($try{PATCH}->(headers => ['If-Match' => $etag])), qr/If-Match|version|changed/i, 'the detail says why';
is $try{DELETE}->(headers => ['If-Match' => request(GET => task_path($u, $id), as => $u)->{headers}{etag} =~ s/"$/-gzip"/r])->{status}, 204, 'deleted, by the tag of a compressed copy';
finish();
