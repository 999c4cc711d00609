"""What every revision there is did to its entries, told from the texts. One document's two texts are open at a time."""

import json

from django.db import migrations

from configs_app.entry_diff import touched
from console.sealing import unseal


def fill(apps, schema_editor):
    Document = apps.get_model("configs_app", "Document")
    Revision = apps.get_model("configs_app", "Revision")
    RevisionEntry = apps.get_model("configs_app", "RevisionEntry")
    for document in Document.objects.order_by("pk"):
        before = None
        for pk in Revision.objects.filter(document=document).order_by("number").values_list("pk", flat=True):
            text = unseal(Revision.objects.values_list("content_sealed", flat=True).get(pk=pk))
            RevisionEntry.objects.bulk_create(
                (RevisionEntry(revision_id=pk, key=json.dumps(name), word=word) for name, word in touched(before, text)),
                batch_size=1000,
            )
            before = text


class Migration(migrations.Migration):
    dependencies = [("configs_app", "0006_revision_entries")]
    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
